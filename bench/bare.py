"""The yardstick: one flask-smorest route behind a JWT, with nothing to do. Served like the product, by gunicorn."""

import os

from flask import Flask
from flask.views import MethodView
from flask_jwt_extended import JWTManager, get_jwt_identity, jwt_required
from flask_smorest import Api, Blueprint
from marshmallow import EXCLUDE, Schema, fields


class Question(Schema):
    class Meta:
        unknown = EXCLUDE

    message = fields.String(required=True)


class Reply(Schema):
    job_id = fields.String(data_key="jobId")


routes = Blueprint("bare", __name__)


@routes.route("/api/chat")
class Chat(MethodView):
    @jwt_required()
    @routes.arguments(Question)
    @routes.response(202, Reply)
    def post(self, question: dict[str, str]) -> dict[str, str]:
        return {"job_id": get_jwt_identity() + question["message"][:1]}


application = Flask(__name__)
application.config.update(
    API_TITLE="bare",
    API_VERSION="1",
    OPENAPI_VERSION="3.1.0",
    JWT_SECRET_KEY=os.environ["JWT_SECRET_KEY"],
    JWT_DECODE_AUDIENCE="talkmeter-api",
)
JWTManager(application)
Api(application).register_blueprint(routes)
